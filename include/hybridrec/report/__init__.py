"""The report of a run: one page for the engineer and the product owner, and the same figures for machines.

    python -m jobs.write_report --run-id R

The page is one file without any address in it: styles and pictures are inline, so it can be mailed and opened
anywhere. The same run gives the same page, the cost of its tasks apart.
"""
