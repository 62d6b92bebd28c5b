//! Metrics that do not get to their receiver.

sentences! {
    wrong(fault) = "metrics are not exported: {fault}";
    not_exported(origin, why) = "the metrics could not be exported to {origin}: {why}. Nothing waits for that. The next export brings the numbers as they are then; each cause is told once, until an export succeeds";
    exported_again(origin) = "the metrics are exported to {origin} again";
    too_slow(origin, bound) = "the export of metrics to {origin} takes longer than {bound}: answers are not kept waiting for it any longer. This is told once, until an export is in time";
    NO_ANSWER = "no answer, so nobody knows whether it took them";
    CANNOT_CONNECT = "it cannot be reached";
    NO_BODY = "its answer broke off, so nobody knows whether it took them";
    answered(status) = "it answered {status}";
    page(status) = "it answered {status} with a web page or a file, as no receiver of OTLP does: a proxy or a sign-in may stand before it";
    no_receiver(status, kind) = "it answered {status} ({kind}), but not as a receiver of OTLP does, so nobody knows whether it took them: check that the endpoint is one that takes OTLP over HTTP";
    NO_KIND = "no Content-Type";
    rejected(points) = "it took the export, but refused {points} of its data points";
    SOME_REJECTED = "it refused data points";
}
