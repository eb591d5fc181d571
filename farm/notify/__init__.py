"""Who hears of a job's end: labels that specs name, and the addresses that stand behind them."""
