"""What a run found, for people: a page, lines for a terminal, and the published schema of verdict.json.

    page      index.html, one self-contained file (imports jinja2)
    night     nightly.html, the same for a night
    decided   what a policy makes of a run, as the page shows it; the gate makes it
    depth     what the histories add to a page: timeline (counted by _asked, drawn by chart) and stories
    promises  the table of promises: each clause's worst value
    terminal  a line a scenario, the summary of a run and of a night
    beside    writes the files below; junit, markdown, metrics: one each (metrics imports prometheus_client)
    workflow  annotations, as GitHub's workflow commands
    night     a night's runs as they count
    schema    validate() and validate_scenario() against verdict.schema.json (imports jsonschema)
    shape     verdict.json and nightly.json as types
    reading   what page and terminal say about them: how a finding stands to what was expected, sums, the matrix
    text      one way to write numbers, and to make foreign text harmless

Everything is read from the JSON files, and for the page from the histories: the same files give the same page and the
same lines. Import the modules
that you need: this package imports none, since jinja2 and jsonschema take their time.
"""
