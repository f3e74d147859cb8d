"""Make the tables besides the lists, and judge them on the holdout split: buy_again, bought_together, item_audiences, trending."""
