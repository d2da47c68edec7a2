"""The features of one slice, measured in the box around its myocardium.

Numbers are PyRadiomics' own: its C code fills the matrices and finds the shape. What is here in its
place is the work around them, which took nine tenths of the time: filters over the whole field, one
binning for each class, and some thousand small calls for each slice.
"""
