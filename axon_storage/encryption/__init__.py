"""Encryption of documents at rest: the keyring, its keys, and the secrets of tenants."""

from axon_storage.encryption.keyring import Keyring, KeyUnwrapper, MasterKey, WrappedKey
from axon_storage.encryption.tenant_secrets import TenantSecretDirectory, TenantSecrets

__all__ = ["KeyUnwrapper", "Keyring", "MasterKey", "TenantSecretDirectory", "TenantSecrets", "WrappedKey"]
