"""Commands that measure; the README's figures come from them. ``make bench`` runs all."""
