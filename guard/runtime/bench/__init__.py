"""What guard costs, measured: ratios to yardsticks in the same run, held against the bars of the design.

Nothing is imported here: child processes of measures take single modules of this package.
"""
