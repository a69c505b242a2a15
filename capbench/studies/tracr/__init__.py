"""The Tracr study: Counter and Max-identifier, compiled from programs."""
