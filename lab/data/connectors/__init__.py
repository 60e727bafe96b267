"""Where a party's rows come from: files and tables, read only, in chunks, filtered at the source."""
