//! The words of the field as types: resource ids, key types, keys, fingerprints and connection strings.
//!
//! Start at [`ServiceId`] and [`ConsumerId`] for who is talked about, at [`ConnectionString`] for what is changed.
//! Key material is a [`Key`] from the moment it is parsed: it has no `Display`, and its `Debug` is redacted.

mod connection_string;
mod consumer;
mod container_app;
mod id;
mod key;
mod key_value;
mod name;
mod operation_url;
mod printable;
mod secret;
mod static_web_app;

pub use connection_string::{ConnectionString, Malformed, holds_a_secret, host_of, is_placeholder};
pub use consumer::{AppId, ConsumerId, Reference, ReferenceStore, Section, names_signalr};
pub use container_app::{ContainerAppId, ContainerAppKind};
pub use id::{IdError, IdFault, ServiceId, ServiceType, likest};
pub use key::{Fingerprint, Key, KeyPair, KeyType, NotAFingerprint, NotAKeyType, PerKey};
pub use key_value::KeyValueId;
pub use name::{Name, NotAName};
pub use operation_url::OperationUrl;
pub use printable::{is_unseen, printable, printable_list};
pub use secret::{SecretId, SecretReference};
pub use static_web_app::StaticWebAppId;
