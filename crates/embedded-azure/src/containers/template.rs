//! What a template of containers says of secrets (swagger: Microsoft.App 2024-03-01, `Template`).

use std::collections::BTreeSet;

use serde_json::Value;

/// The variables of all containers: each has a `name`, and a `value` or a `secretRef`.
fn variables(template: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let lists = ["initContainers", "containers"].into_iter();
    let containers = lists.filter_map(|list| template[list].as_array()).flatten();
    containers.flat_map(|container| {
        let name = container["name"].as_str().unwrap_or_default();
        container["env"].as_array().into_iter().flatten().map(move |variable| (name, variable))
    })
}

/// The secrets that are in variables, each with the name of a container that has it.
pub(crate) fn in_variables(template: &Value) -> impl Iterator<Item = (&str, &str)> {
    variables(template).filter_map(|(container, variable)| Some((container, variable["secretRef"].as_str()?)))
}

/// The values of variables that stand in the template itself.
pub(crate) fn literals(template: &Value) -> impl Iterator<Item = &str> {
    variables(template).filter_map(|(_, variable)| variable["value"].as_str())
}

/// The secrets that are mounted as files; nothing where a volume has all that there are.
pub(crate) fn mounted(template: &Value) -> Option<BTreeSet<&str>> {
    let volumes = template["volumes"].as_array().into_iter().flatten();
    let of_secrets = volumes.filter(|volume| volume["storageType"] == "Secret");
    let mut names = BTreeSet::new();
    for volume in of_secrets {
        let listed = volume["secrets"].as_array().filter(|listed| !listed.is_empty())?;
        names.extend(listed.iter().filter_map(|secret| secret["secretRef"].as_str()));
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_found_wherever_a_template_names_them() {
        let template = json!({
            "containers": [{"name": "main", "env": [{"name": "A", "secretRef": "a"}, {"name": "B", "value": "b"}]}],
            "initContainers": [{"name": "first", "env": [{"name": "C", "secretRef": "c"}]}],
            "volumes": [{"name": "v", "storageType": "Secret", "secrets": [{"secretRef": "d"}]}],
        });
        assert_eq!(in_variables(&template).collect::<Vec<_>>(), [("first", "c"), ("main", "a")]);
        assert_eq!(literals(&template).collect::<Vec<_>>(), ["b"]);
        assert_eq!(mounted(&template), Some(BTreeSet::from(["d"])));
        assert_eq!(mounted(&json!({"volumes": [{"storageType": "Secret"}]})), None, "all of them");
        assert_eq!(mounted(&json!({"volumes": [{"storageType": "EmptyDir"}]})), Some(BTreeSet::new()));
    }
}
