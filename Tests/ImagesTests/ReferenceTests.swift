// Names as people write them.

import Images
import Testing

@Suite struct ReferenceTests {
    static let digest = "sha256:" + String(repeating: "0123456789abcdef", count: 4)

    @Test(arguments: [
        ("web", "docker.io/library/web:latest"),
        ("web:v1", "docker.io/library/web:v1"),
        ("a/b", "docker.io/a/b:latest"),
        ("docker.io/web", "docker.io/library/web:latest"),
        ("index.docker.io/a/b:1", "docker.io/a/b:1"),
        ("localhost/web", "localhost/web:latest"),
        ("localhost:5000/web:v1", "localhost:5000/web:v1"),
        ("ghcr.io/a/b__c/d-e.f:V1.0_x-y", "ghcr.io/a/b__c/d-e.f:V1.0_x-y"),
        ("web@\(digest)", "docker.io/library/web@\(digest)"),
        ("r.io/web:v1@\(digest)", "r.io/web:v1@\(digest)"),
    ])
    func areCompleted(text: String, canonical: String) throws {
        #expect(try ImageReference(text).description == canonical)
        #expect(try ImageReference(canonical).description == canonical)
    }

    @Test(arguments: [
        "", "Web", "a//b", "/web", "web/", "web:", "web:-x", "web@sha256:12", "a b", "a..b", "-a", "a-", "r.io:port/a",
        "web:" + String(repeating: "x", count: 129), "r.io/" + String(repeating: "x", count: 300), "../web", "a/../b",
        "web\u{0}",
    ])
    func areRefused(text: String) {
        #expect(throws: ImageError.self) { try ImageReference(text) }
    }
}
