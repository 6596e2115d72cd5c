"""Tenants over several databases: TenantRouter, and the catalogue that says in which database a tenant is."""

from axon_storage.routing.catalogue import CATALOGUE_TENANT, Placement, PlacementState, TenantCatalogue
from axon_storage.routing.databases import file_name
from axon_storage.routing.router import TenantRouter

__all__ = ["CATALOGUE_TENANT", "Placement", "PlacementState", "TenantCatalogue", "TenantRouter", "file_name"]
