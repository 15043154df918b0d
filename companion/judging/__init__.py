"""Statements about stored runs and the verdicts on them: the paper's claims, this book's, and the referee's."""
