use super::*;
use serde_json::Value;
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::from_str(&TEXT.json).unwrap()
}

/// Every operation, with its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(move |(method, operation)| {
                (format!("{} {path}", method.to_uppercase()), operation)
            })
        })
        .collect()
}

#[test]
fn operations_have_a_name_of_their_own_a_good_answer_and_their_refusals() {
    let document = document();
    let mut names = BTreeSet::new();
    for (call, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap().to_owned();
        assert!(names.insert(name), "{call}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses
                .keys()
                .any(|status| status.starts_with(['1', '2'])),
            "{call}"
        );
        assert!(responses.contains_key("403"), "{call}");
        let is_open = operation["security"] == serde_json::json!([]);
        assert!(is_open || responses.contains_key("401"), "{call}");
        for (status, response) in responses {
            assert!(
                response["headers"]["X-Request-Id"].is_object(),
                "{call} {status}"
            );
            if status.starts_with('4') && !call.starts_with("HEAD") {
                let problem = &response["content"]["application/problem+json"];
                assert!(problem.is_object(), "{call} {status}");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.trim_start_matches('#');
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                members.values().for_each(|value| check(document, value));
            }
            Value::Array(items) => items.iter().for_each(|value| check(document, value)),
            _ => {}
        }
    }
    let document = document();
    check(&document, &document);
}

#[test]
fn files_are_bytes_and_records_have_every_quantity() {
    let document = document();
    let content = &document["paths"]["/api/models"]["put"]["requestBody"]["content"];
    let model = &document["paths"]["/api/models/{id}"]["get"]["responses"]["200"]["content"];
    for kind in ["model/gltf-binary", "application/octet-stream"] {
        for content in [content, model] {
            let schema = &content[kind]["schema"];
            assert_eq!(
                (&schema["type"], &schema["format"]),
                (&"string".into(), &"binary".into())
            );
        }
    }
    let record = &document["components"]["schemas"]["Record"]["properties"];
    for quantity in crate::domain::Quantity::ALL {
        for end in ["", "_min", "_max"] {
            let name = format!("{}{end}", quantity.flat_key());
            assert!(record[&name].is_object(), "{name}");
        }
    }
    for name in ["count", "extra", "global_score_min", "global_score_max"] {
        assert!(record[name].is_object(), "{name}");
    }
    assert_eq!(document["servers"][0]["url"], "/");
}
