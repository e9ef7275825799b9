"""For any WSGI server: `granian --interface wsgi wsgi:app`."""

from geo_o2o.app import create_app

app = create_app()
