"""Conversations that are written, and screens: how they are planned, and what the platform shows of them."""
