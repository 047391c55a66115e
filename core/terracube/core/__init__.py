"""Words that everybody needs: errors, settings, logging, progress, pages, sensors. Imports nothing of ours."""
