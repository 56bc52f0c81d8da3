"""Parts that every data set uses: config and table entry, raw files, splits, corruption, tokens."""
