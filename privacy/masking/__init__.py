"""Masks under the encryption, which cancel in the sum of all updates."""
