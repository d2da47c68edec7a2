"""The report: one self-contained HTML file on a finished run, for a reader of methods.

record                       what a run's folder holds
words                        how numbers are written
populations                  the groups of patients with scores, and checks of their evidence
canvas, curves, charts       pictures as SVG that follow the page's colours
patients, discrimination, calibration, variation, conduct
                             what each section says
checklist, claim, tripod     the reporting checklists, filled as far as the run knows
document, pdf, cli           the page, its print, the command
"""
