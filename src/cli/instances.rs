//! Which of the configured instances a command is for.

use crate::config::{Config, InstanceConfig};

use super::{Exit, output};

/// The configured instances that were named, by name or by resource id; all if none is.
pub(super) fn chosen<'a>(config: &'a Config, named: &[String]) -> Result<Vec<&'a InstanceConfig>, Exit> {
    if named.is_empty() {
        return Ok(config.instances.iter().collect());
    }
    let mut chosen: Vec<&InstanceConfig> = Vec::new();
    for name in named {
        let fits = |instance: &&InstanceConfig| {
            instance.id.name().eq_ignore_ascii_case(name) || name.parse() == Ok(instance.id.clone())
        };
        let found: Vec<_> = config.instances.iter().filter(fits).collect();
        if found.is_empty() {
            output::complain(&unknown(config, name));
            return Err(Exit::Wrong);
        }
        chosen.extend(found);
    }
    Ok(chosen)
}

fn unknown(config: &Config, name: &str) -> String {
    let known: Vec<&str> = config.instances.iter().map(|instance| instance.id.name()).collect();
    format!("{name:?} is not configured; rekey.toml has: {}", known.join(", "))
}
