"""Running a model file. One module an engine, named for its runtime; the engine is imported when a model is opened."""
