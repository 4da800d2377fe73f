"""What the import of a package does to its process, followed in its sources: what it opens, and in what order.

No code is run. A small interpreter goes through the statements as Python would; what it cannot know is
:class:`~dataloader.verify.follow.values.Unknown`, and what hangs on something unknown happens *perhaps*.
"""
