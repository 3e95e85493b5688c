"""The composition root: builds every concrete thing from the settings and hands the pieces down."""
