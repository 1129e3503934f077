"""What people look at: a crawl as lines, as a page of its own, and a page and metrics of a run that goes on."""
