"""The shop with Flask and Flask-SQLAlchemy."""
