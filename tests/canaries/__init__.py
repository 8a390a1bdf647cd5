"""Canaries: each tests one thing that we use of a library although the library does not document it.

A canary that fails names the thing, and our files that use it: change those before you raise the version. The table
"Private parts of others" in CONTRIBUTING.md lists them all.
"""
