"""Go or no-go: what a release may rest on, from a policy, from verdicts, and from the baseline that was accepted.

    decide       one pure function: policy, runs, baseline and a date in; an answer and its reasons out
    policy       the policy as data; policy_file reads it
    rank         an exact one-sided test for two small samples
    baseline     the runs that were accepted, kept under reports/baseline/
    trend        margins, times and flakiness over the last runs; store is the database file behind it
    here         what it makes of a run or a night by the policy of the folder that one works in
    lines        a decision for a terminal, and as JSON

Everything is read from verdict.json alone.
"""
