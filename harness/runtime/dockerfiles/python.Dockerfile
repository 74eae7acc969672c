# Python with the packages of the interpreter that the harness runs in: what {python} is in a container.
# BASE is any image with a python3 of the same minor version, on glibc.
ARG BASE
FROM ${BASE}
ADD packages.tar /opt/
ENV PYTHONPATH=/opt/packages LANG=C.UTF-8
