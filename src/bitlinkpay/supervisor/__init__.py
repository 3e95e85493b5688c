"""One deployment's processes: started together, heard, started again where they end or hang."""
