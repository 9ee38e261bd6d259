// Whether some rules allow everything that other rules allow: the question behind "nobody grants what he has not".
//
// A rule is broken into its smallest parts (one verb, one group, one resource, one name), and each part must be within
// one of the rules held. So a permission held through two rules is still found. Pure.

internal import Objects

enum RuleCoverage {
    /// The parts of `wanted` that none of `held` covers.
    static func missing(_ wanted: [PolicyRule], held: [PolicyRule]) -> [PolicyRule] {
        wanted.flatMap(parts).filter { part in !held.contains { covers($0, part) } }
    }

    /// Combinations that are looked at for one request.
    static let limit = 100_000

    /// How many parts the rules have; at most `Int.max`.
    static func count(_ rules: [PolicyRule]) -> Int {
        func product(_ factors: [Int]) -> Int {
            factors.reduce(1) { total, factor in
                let (result, overflow) = total.multipliedReportingOverflow(by: factor)
                return overflow ? Int.max : result
            }
        }
        return rules.reduce(0) { total, rule in
            let resources = product([
                rule.groups.count, rule.resources.count, rule.verbs.count, max(1, rule.names.count),
            ])
            let paths = product([rule.paths.count, rule.verbs.count])
            let (part, overflow) = resources.addingReportingOverflow(paths)
            let (sum, more) = total.addingReportingOverflow(overflow ? Int.max : part)
            return more ? Int.max : sum
        }
    }

    /// One rule a combination.
    static func parts(_ rule: PolicyRule) -> [PolicyRule] {
        var parts: [PolicyRule] = []
        for group in rule.groups {
            for resource in rule.resources {
                for verb in rule.verbs {
                    let whole = PolicyRule(verbs: [verb], groups: [group], resources: [resource])
                    if rule.names.isEmpty { parts.append(whole) }
                    for name in rule.names {
                        var part = whole
                        part.names = [name]
                        parts.append(part)
                    }
                }
            }
        }
        for path in rule.paths {
            for verb in rule.verbs { parts.append(PolicyRule(verbs: [verb], paths: [path])) }
        }
        return parts
    }

    private static func covers(_ held: PolicyRule, _ part: PolicyRule) -> Bool {
        guard within(part.verbs, held.verbs) else { return false }
        if !part.paths.isEmpty {
            return part.paths.allSatisfy { path in
                held.paths.contains { pattern in
                    pattern == "*" || pattern == path
                        || (pattern.hasSuffix("*") && withoutStars(path).hasPrefix(withoutStars(pattern)))
                }
            }
        }
        guard within(part.groups, held.groups) else { return false }
        let resources = part.resources.allSatisfy { resource in
            if held.resources.contains("*") || held.resources.contains(resource) { return true }
            guard let slash = resource.firstIndex(of: "/") else { return false }
            return held.resources.contains("*" + resource[slash...])
        }
        guard resources else { return false }
        if held.names.isEmpty { return true }
        return !part.names.isEmpty && part.names.allSatisfy(held.names.contains)
    }

    private static func within(_ values: [String], _ held: [String]) -> Bool {
        held.contains("*") || values.allSatisfy(held.contains)
    }

    private static func withoutStars(_ pattern: String) -> Substring {
        var rest = pattern[...]
        while rest.hasSuffix("*") { rest.removeLast() }
        return rest
    }

    /// Parts that differ in nothing but the verb, put together for people; sorted.
    static func compacted(_ parts: [PolicyRule]) -> [PolicyRule] {
        struct Key: Hashable {
            let groups, resources, names, paths: [String]
        }
        var order: [Key] = []
        var verbs: [Key: [String]] = [:]
        for part in parts {
            let key = Key(groups: part.groups, resources: part.resources, names: part.names, paths: part.paths)
            if verbs[key] == nil { order.append(key) }
            if !(verbs[key] ?? []).contains(part.verbs[0]) { verbs[key, default: []].append(part.verbs[0]) }
        }
        return order.map {
            PolicyRule(
                verbs: verbs[$0] ?? [], groups: $0.groups, resources: $0.resources, names: $0.names, paths: $0.paths)
        }.sorted { $0.compactText < $1.compactText }
    }
}
