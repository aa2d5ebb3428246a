"""Which layer costs accuracy and which gains time: `compress sensitivity`."""
