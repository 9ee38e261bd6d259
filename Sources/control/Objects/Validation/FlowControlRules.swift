// The rules of flowcontrol.apiserver.k8s.io: which requests a flow holds, what a priority level may have.

extension ControlRules {
    /// One of a flow schema's rules.
    static func flowRule(_ rule: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let subjects = rule["subjects"]?.array ?? []
        if subjects.isEmpty {
            errors.append(.required(path.child("subjects"), "subjects must contain at least one value"))
        }
        for (index, subject) in subjects.enumerated() {
            let path = path.child("subjects")[index]
            errors += Rules.oneOf(subject, "kind", ["Group", "ServiceAccount", "User"], path)
        }
        let resources = rule["resourceRules"]?.array ?? []
        let others = rule["nonResourceRules"]?.array ?? []
        if resources.isEmpty, others.isEmpty {
            errors.append(
                .required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
        }
        for (index, rule) in resources.enumerated() {
            let path = path.child("resourceRules")[index]
            for key in ["verbs", "apiGroups", "resources"] where (rule[key]?.array ?? []).isEmpty {
                errors.append(.required(path.child(key)))
            }
        }
        for (index, rule) in others.enumerated() {
            let path = path.child("nonResourceRules")[index]
            for key in ["verbs", "nonResourceURLs"] where (rule[key]?.array ?? []).isEmpty {
                errors.append(.required(path.child(key)))
            }
        }
        return errors
    }

    /// `spec.limited` of a priority level.
    static func limited(_ limited: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        if let shares = limited["nominalConcurrencyShares"]?.int, shares < 0 {
            errors.append(
                .invalid(path.child("nominalConcurrencyShares"), .int(shares), "must be a non-negative integer"))
        }
        if let percent = limited["lendablePercent"]?.int, !(0...100 ~= percent) {
            errors.append(
                .invalid(path.child("lendablePercent"), .int(percent), "must be between 0 and 100, inclusive"))
        }
        let response = limited["limitResponse"]
        let path = path.child("limitResponse")
        errors += Rules.oneOf(response, "type", ["Queue", "Reject"], path)
        let queuing = response?["queuing"]
        switch (response?["type"], queuing) {
        case ("Queue"?, nil):
            errors.append(.required(path.child("queuing"), "must not be empty if limitResponse.type is Limited"))
        case ("Reject"?, _?):
            errors.append(
                .forbidden(path.child("queuing"), "must be nil if limited.limitResponse.type is not Limited"))
        default: break
        }
        guard let queuing else { return errors }
        for key in ["queues", "handSize", "queueLengthLimit"] {
            guard let number = queuing[key]?.int, number <= 0 else { continue }
            errors.append(.invalid(path.child("queuing", key), .int(number), "must be positive"))
        }
        if let hand = queuing["handSize"]?.int, let queues = queuing["queues"]?.int, hand > queues {
            errors.append(
                .invalid(
                    path.child("queuing", "handSize"), .int(hand), "should not be greater than queues (\(queues))"))
        }
        return errors
    }
}
