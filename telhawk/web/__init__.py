"""The web service: where users come in. It asks search by way of the broker, and synchronously by HTTP."""
