//! What an App Configuration store is asked. The host is the store's.

use super::{DELETE, GET, HEAD, PUT, Route, open};
use crate::app_configuration::key_values;

pub(super) static ROUTES: &[Route] = &[
    open(GET, "/kv", "AppConfiguration_GetKeyValues", key_values::list),
    open(GET, "/kv/{key}", "AppConfiguration_GetKeyValue", key_values::get),
    open(HEAD, "/kv/{key}", "AppConfiguration_CheckKeyValue", key_values::get),
    open(PUT, "/kv/{key}", "AppConfiguration_PutKeyValue", key_values::put),
    open(DELETE, "/kv/{key}", "AppConfiguration_DeleteKeyValue", key_values::delete),
    open(PUT, "/locks/{key}", "AppConfiguration_PutLock", key_values::lock),
    open(DELETE, "/locks/{key}", "AppConfiguration_DeleteLock", key_values::unlock),
    open(GET, "/labels", "AppConfiguration_GetLabels", key_values::labels),
];
