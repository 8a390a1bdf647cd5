"""The shop with FastAPI and SQLAlchemy."""
