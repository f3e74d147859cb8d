"""Hold what every room needs: settings, options, errors, extension folders, compiled loops."""
