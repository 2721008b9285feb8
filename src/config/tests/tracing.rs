use super::{MINIMAL, World, with};

fn read(lines: &str) -> crate::config::Tracing {
    World::new().good(&format!("[tracing]\n{lines}\n{MINIMAL}")).tracing.unwrap()
}

#[test]
fn without_its_section_nothing_is_traced() {
    assert!(World::new().good(MINIMAL).tracing.is_none());
}

#[test]
fn tracing_needs_only_an_endpoint() {
    let tracing = read("otlp_endpoint = 'http://localhost:4318'");
    assert_eq!(tracing.otlp_endpoint, "http://localhost:4318/v1/traces");
    assert_eq!((tracing.sample_ratio, tracing.service_name.as_str()), (0.01, "idaas-bridge"));
    assert!(tracing.headers.is_empty() && tracing.otlp_ca.is_none());
}

#[test]
fn the_path_for_traces_is_added_once() {
    for (given, url) in [
        ("https://otlp.example.com/", "https://otlp.example.com/v1/traces"),
        ("https://otlp.example.com/otlp", "https://otlp.example.com/otlp/v1/traces"),
        ("https://otlp.example.com/v1/traces", "https://otlp.example.com/v1/traces"),
        ("https://otlp.example.com/?tenant=1", "https://otlp.example.com/v1/traces?tenant=1"),
    ] {
        assert_eq!(read(&format!("otlp_endpoint = '{given}'")).otlp_endpoint, url);
    }
}

#[test]
fn an_endpoint_that_cannot_work_is_a_fault() {
    for (given, said) in [
        ("", "is missing"),
        ("otlp_endpoint = 'collector:4318'", "neither https nor http"),
        ("otlp_endpoint = 'http://collector:4317'", "gRPC"),
        ("otlp_endpoint = 'https://somebody:secret@collector'", "credentials"),
    ] {
        let faults = World::new().bad(&format!("[tracing]\n{given}\n{MINIMAL}"));
        assert!(faults.contains("tracing.otlp_endpoint") && faults.contains(said), "{given}: {faults}");
        assert!(!faults.contains("secret"), "{faults}");
    }
}

#[test]
fn a_ratio_is_a_number_from_0_to_1() {
    for (written, ratio) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1.0", 1.0)] {
        assert_eq!(read(&format!("otlp_endpoint = 'http://localhost'\nsample_ratio = {written}")).sample_ratio, ratio);
    }
    for written in ["-0.1", "1.1", "2", "nan", "'1'", "true"] {
        let text = format!("[tracing]\notlp_endpoint = 'http://localhost'\nsample_ratio = {written}\n{MINIMAL}");
        let faults = World::new().bad(&text);
        assert!(faults.contains("tracing.sample_ratio") && faults.contains("from 0 to 1"), "{written}: {faults}");
    }
}

#[test]
fn headers_are_secrets_of_files_or_variables() {
    let world = World::new().file("otlp.token", "Bearer abc\n").variable("OTLP_TENANT", "one");
    let text = "[tracing]\notlp_endpoint = 'https://otlp.example.com'\n\
        headers = { authorization = { file = 'otlp.token' }, x-tenant = { env = 'OTLP_TENANT' } }\n";
    let config = world.good(&format!("{text}{MINIMAL}"));
    let headers = config.tracing.unwrap().headers;
    let shown: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect();
    assert_eq!(shown, [("authorization", "Bearer abc"), ("x-tenant", "one")]);
    assert!(config.secret_files.iter().any(|file| file.path.ends_with("otlp.token")));
    let world = World::new().file("otlp.token", "two\nlines");
    let faults = world.bad(&format!("{}{MINIMAL}", text.replace(", x-tenant = { env = 'OTLP_TENANT' }", "")));
    assert!(faults.contains("tracing.headers.authorization") && !faults.contains("two"), "{faults}");
}

#[test]
fn headers_over_plain_http_are_a_warning() {
    let text = |host: &str| {
        format!(
            "[tracing]\notlp_endpoint = 'http://{host}:4318'\nheaders = {{ a = {{ file = 'tls.crt' }} }}\n{MINIMAL}"
        )
    };
    let world = || World::new().file("tls.crt", "token");
    let warned = |host| world().good(&text(host)).warnings.iter().any(|warning| warning.key == "tracing.otlp_endpoint");
    assert_eq!([warned("collector"), warned("localhost"), warned("127.0.0.1")], [true, false, false]);
}

#[test]
fn a_variable_switches_tracing_on() {
    let world = World::new()
        .variable("IDAAS_BRIDGE_TRACING__OTLP_ENDPOINT", "http://localhost:4318")
        .variable("IDAAS_BRIDGE_TRACING__SAMPLE_RATIO", "0.5");
    assert_eq!(world.good(MINIMAL).tracing.unwrap().sample_ratio, 0.5);
}

#[test]
fn a_change_of_tracing_needs_a_restart() {
    let old = World::new().good(MINIMAL);
    let new = World::new().good(&with("tracing", "otlp_endpoint = 'http://localhost:4318'"));
    assert_eq!(old.needs_restart(&new), ["tracing"]);
    assert!(new.needs_restart(&new).is_empty());
}
