"""Ray: Tune schedules the trials, long-lived Ray Train worker groups (slots) train them."""
