"""The published operations, one module for each area. Every module offers `routes(platform)`."""
