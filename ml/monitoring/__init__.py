"""Is today's data still like the data the models were trained on? Measures, a stored reference, a daily report."""
