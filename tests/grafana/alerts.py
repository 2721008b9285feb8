"""The shipped alert rules on a real Prometheus that scrapes the real service: each rule can be evaluated, finds its metrics
and labels, is quiet while all is well, and fires and resolves when its problem comes and goes.

Durations are shortened, thresholds are not. What promtool tests with invented series is not repeated here: the limits.
"""

import re
import sys
import time

from environment import ROOT, RUN, wait

SHIPPED = ROOT / "deploy/prometheus/alerts.yml"

# Seconds in the place of each duration of the shipped rules. Longer ones stay longer. A new duration needs a decision here.
FOR = {"15s": 1, "1m": 2, "5m": 3, "10m": 4, "15m": 5}
WINDOWS = {"5m": 8, "6m": 10, "10m": 12, "15m": 20, "30m": 25, "1h": 30, "1d": 86400}

# Labels that come from the Prometheus Operator and from kube-state-metrics.
KUBERNETES_LABELS = {"namespace", "job_name"}
# Metrics that this test has no source of.
KUBERNETES_METRICS = re.compile("kube_")
# Metrics that appear only if there is something to show: docs/alerts.md has the same list.
ON_OCCURRENCE = {"idaas_bridge_kafka_partitions_unavailable", "idaas_bridge_fetch_last_run_successful"}

WORD = re.compile(r"[a-zA-Z_:][\w:]*")
STRING = r'"(?:[^"\\]|\\.)*"'
SELECTOR = re.compile(r"\b(?:idaas_bridge_\w+|process_\w+|kube_\w+|up)\b(?:\{[^}]*\})?|\{__name__[^}]*\}")
GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
FUNCTIONS = {
    "abs", "absent", "and", "avg_over_time", "changes", "histogram_quantile", "increase", "last_over_time", "max", "min",
    "min_over_time", "or", "predict_linear", "rate", "sum", "time", "unless", "by", "on",
}


def shorten(text):
    """The rules with short durations, and otherwise as they are shipped."""

    def seconds(table, match):
        if match[2] not in table:
            sys.exit(f"error: {SHIPPED} has the new duration {match[0]!r}: add it to {__file__}")
        return f"{match[1]}{table[match[2]]}s{match[3]}"

    text = re.sub(r"( for: )(\w+)(\n)", lambda match: seconds(FOR, match), text)
    return re.sub(r"(\[)(\d+[a-z])(\])", lambda match: seconds(WINDOWS, match), text)


def write_shortened():
    file = RUN / "alerts.yml"
    file.write_text(shorten(SHIPPED.read_text()))
    return file


class Alerts:
    """The state of the rules. Remembers which alerts have fired, with labels and texts, and which have resolved."""

    def __init__(self, prometheus):
        self.prometheus = prometheus
        self.fired, self.resolved = {}, set()

    def rules(self):
        groups = self.prometheus.ask("rules", type="alert")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def active(self):
        """The names of the alerts that are pending or firing, and of those that are firing."""
        alerts = self.prometheus.ask("alerts")["alerts"]
        firing = {alert["labels"]["alertname"]: alert for alert in alerts if alert["state"] == "firing"}
        self.resolved |= self.fired.keys() - firing.keys()
        self.fired = firing | self.fired
        return {alert["labels"]["alertname"] for alert in alerts}, firing.keys()

    def wait_until_firing(self, *names, meanwhile=lambda: None):
        names = {f"IdaasBridge{name}" for name in names}

        def missing():
            meanwhile()
            return names - self.active()[1]

        wait("these alerts fire:", lambda: not missing(), lambda: ", ".join(sorted(missing())))

    def wait_until_fired(self, since, *names, meanwhile):
        """Waits until each has fired since then, not necessarily at the same time."""
        names = {f"IdaasBridge{name}" for name in names}

        def missing():
            meanwhile()
            self.active()
            return names - self.fired_since(since, names)

        wait("these alerts fire:", lambda: not missing(), lambda: ", ".join(sorted(missing())))

    def wait_until_resolved(self, *names):
        names = {f"IdaasBridge{name}" for name in names}
        firing = lambda: names & self.active()[1]
        wait("these alerts resolve:", lambda: not firing(), lambda: ", ".join(sorted(firing())))

    def wait_until_quiet(self):
        """Waits until nothing is pending or firing, for longer than a rule can take to fire."""
        since = [time.time()]

        def quiet():
            if self.active()[0]:
                since[0] = time.time()
            return time.time() - since[0] > max(FOR.values()) + 1

        wait("no alert is pending or firing:", quiet, lambda: ", ".join(sorted(self.active()[0])))

    def must_have_been_quiet(self, since, *names):
        """These alerts have not fired since then."""
        found = self.fired_since(since, {f"IdaasBridge{name}" for name in names})
        if found:
            sys.exit(f"error: these alerts fired although they must not: {', '.join(sorted(found))}")

    def fired_since(self, since, names):
        seconds = int(time.time() - since) + 1
        query = f'last_over_time(ALERTS{{alertstate="firing",alertname=~"{"|".join(sorted(names))}"}}[{seconds}s])'
        return {series["alertname"] for series in self.prometheus.series(query)}


def check_health(alerts):
    """Every rule has been evaluated, and never with an error."""
    wait("every rule is evaluated", lambda: all(rule["health"] != "unknown" for rule in alerts.rules().values()))
    failures = [f"{name}: {rule.get('lastError')}" for name, rule in alerts.rules().items() if rule["health"] != "ok"]
    counted = re.findall(r"^prometheus_rule_evaluation_failures_total\{.* (\S+)$", alerts.prometheus.own_metrics(), re.M)
    if failures or not counted or any(float(count) for count in counted):
        sys.exit("\n".join(["error: rules cannot be evaluated, now or before:", *failures]))


def selectors(query):
    """The selectors of an expression as Prometheus prints it. Ends if it has a word that is not understood."""
    rest = GROUPING.sub("by", SELECTOR.sub("", query))
    unknown = set(WORD.findall(re.sub(STRING + r"|\[[^\]]*\]|\b[\d.e+]+\b", "", rest))) - FUNCTIONS
    if unknown:
        sys.exit(f"error: neither a known metric nor a known function: {unknown} in {query}")
    return SELECTOR.findall(query)


def check_metrics(alerts, seconds):
    """Every selector has found series within that time, with all labels that the rule groups by. Returns the selectors that
    have not, which must be those of Kubernetes."""
    failures, absent = [], set()
    for name, rule in alerts.rules().items():
        labels = set()
        for selector in selectors(rule["query"]):
            series = alerts.prometheus.series(f"last_over_time({selector}[{seconds}s])")
            labels |= {label for metric in series for label in metric}
            if not series:
                absent.add((name, selector))
        grouped = {label for group in GROUPING.findall(rule["query"]) for label in re.split(r"\s*,\s*", group.strip())}
        unknown = grouped - labels - KUBERNETES_LABELS - {"le"}
        if unknown and labels:
            failures.append(f"{name}: no series has the labels {sorted(unknown)}")
    if failures:
        sys.exit("\n".join(["error: rules group by labels that the service does not have:", *failures]))
    return absent


def check_selectors_of_a_healthy_service(alerts):
    absent = [
        f"{name}: {selector}"
        for name, selector in check_metrics(alerts, 60)
        if not KUBERNETES_METRICS.match(selector) and selector.partition("{")[0] not in ON_OCCURRENCE
    ]
    if absent:
        sys.exit("\n".join(["error: a healthy service has no such series, so a first increase would not be seen:", *absent]))


def check_selectors_of_the_whole_run(alerts, since):
    seconds = int(time.time() - since) + 1
    absent = [f"{name}: {found}" for name, found in check_metrics(alerts, seconds) if not KUBERNETES_METRICS.match(found)]
    if absent:
        sys.exit("\n".join(["error: there was no such series in the whole run:", *absent]))


def check_texts(alerts):
    """The labels that the texts of the alerts name are those of the alerts that fired."""
    failures = []
    for name, alert in alerts.fired.items():
        rule = alerts.rules()[name]
        for text in rule["annotations"].values():
            optional = re.findall(r"\bor( \$labels\.\w+)+", text)
            wanted = set(re.findall(r"\$labels\.(\w+)", text)) - alert["labels"].keys()
            if wanted and not optional:
                failures.append(f"{name} has no label {', '.join(sorted(wanted))}: {text}")
        failures += [f"{name}: {text}" for text in alert["annotations"].values() if "<" in text or "no value" in text]
    if failures:
        sys.exit("\n".join(["error: texts of alerts:", *failures]))


# Alerts that the run does not provoke, with the reason. promtool tests them with invented series.
NOT_PROVOKED = {
    "KeysStale": "needs an hour without a refresh of the keys",
    "Silent": "needs three days without an event",
    "Slow": "needs a Kafka that confirms after more than 5 s and is not considered unavailable",
    "NearlyFull": "needs 16,000 events in memory",
    "FileDescriptors": "needs thousands of connections",
    "ClusterReplaced": "needs a second cluster",
    "JournalStuck": "needs an event that waits for 10 minutes",
    "ProducerRecreated": "needs three fatal errors of the producer",
    "StateBehind": "needs a restore that takes longer than a scrape",
    "StateRestarting": "needs four fatal errors of a client",
    "StateTooLarge": "needs a user larger than a record",
}


def check_coverage(alerts):
    """Every rule has fired and resolved, or is listed with the reason why it is not provoked: such a rule may fire."""
    listed = {f"IdaasBridge{name}" for name in NOT_PROVOKED}
    names = set(alerts.rules())
    problems = {
        "neither fired nor listed": names - set(alerts.fired) - listed,
        "listed, but unknown": listed - names,
        "not resolved": set(alerts.fired) - alerts.resolved,
    }
    found = [f"{what}: {', '.join(sorted(rules))}" for what, rules in problems.items() if rules]
    if found:
        sys.exit("\n".join(["error: alerts:", *found]))
