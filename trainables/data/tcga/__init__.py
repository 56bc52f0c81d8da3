"""TCGA multi-omics in two published layouts."""
