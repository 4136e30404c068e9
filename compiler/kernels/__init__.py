"""From values to kernels: index arithmetic, normal forms, matrix products, stages, labels.

`fuse` decides which values share a kernel; the modules here write that kernel down.
"""
