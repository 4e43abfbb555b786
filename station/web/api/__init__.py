"""Handlers of the API, a module a subject; `station.web.routes` says who may call which."""
