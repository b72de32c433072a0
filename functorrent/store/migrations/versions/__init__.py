"""One module for each step. A step that was released is never changed; what it got wrong is a next step."""
