"""The main job, shown: a throw-away sandbox, a merchant, an order, a payment, a callback, a balance."""
