// Who somebody is: tokens of every kind, good and bad, asked through SelfSubjectReview and TokenReview.

import Client
import HTTP
import Objects
import System
import Testing

@testable import APIServer

private let nobody = Peer(address: "192.0.2.9")
private let tokens = "/api/v1/namespaces/default/serviceaccounts"

extension TestServer {
    /// username, or the HTTP status when there is none.
    func whoami(_ token: String, _ peer: Peer = nobody) async -> Answer {
        await send(
            "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", [:],
            headers: ["Authorization": "Bearer \(token)"], peer: peer)
    }

    func account(_ name: String) async {
        #expect(await send("POST", tokens, ["metadata": ["name": .string(name)]]).status == 201)
    }

    func token(_ name: String, _ spec: JSON = [:]) async -> Answer {
        await send("POST", "\(tokens)/\(name)/token", ["spec": spec])
    }

    func review(_ token: String, audiences: [String] = []) async -> JSON {
        let answer = await send(
            "POST", "/apis/authentication.k8s.io/v1/tokenreviews",
            ["spec": ["token": .string(token), "audiences": .array(audiences.map { .string($0) })]])
        return answer.json["status"] ?? .null
    }
}

@Suite struct ServiceAccountTokenTests {
    @Test func aTokenStandsForItsAccount() async throws {
        let server = try await TestServer()
        await server.account("robot")
        let issued = await server.token("robot")
        #expect(issued.status == 201, "\(issued.message)")
        #expect(issued.json.at("spec", "expirationSeconds") == 3600)
        #expect(issued.json.at("spec", "audiences") == ["https://kubernetes.default.svc.cluster.local"])
        let token = issued.json.at("status", "token")?.string ?? ""
        let answer = await server.whoami(token)
        #expect(answer.status == 201)
        #expect(answer.json.at("status", "userInfo", "username") == "system:serviceaccount:default:robot")
        #expect(
            answer.json.at("status", "userInfo", "groups")
                == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
        let claims = try #require(JSONWebToken(token)?.claims)
        #expect(claims["iss"] == "https://kubernetes.default.svc.cluster.local")
        #expect(claims["sub"] == "system:serviceaccount:default:robot")
        #expect(claims.at("kubernetes.io", "serviceaccount", "name") == "robot")
        #expect(claims["exp"]?.int == (claims["iat"]?.int ?? 0) + 3600)
        // A second account of the same name is another one.
        _ = await server.send("DELETE", "\(tokens)/robot")
        #expect(await server.whoami(token).status == 401)
        await server.account("robot")
        #expect(await server.whoami(token).status == 401)
    }

    @Test func aTokenDiesWithWhatItIsBoundTo() async throws {
        let server = try await TestServer()
        await server.account("robot")
        let pods = "/api/v1/namespaces/default/pods"
        var object = pod("p")
        object.set("spec", "serviceAccountName", to: "robot")
        let uid = await server.send("POST", pods, object).json.at("metadata", "uid") ?? ""
        let bound: JSON = ["apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid]
        let issued = await server.token("robot", ["boundObjectRef": bound])
        #expect(issued.status == 201, "\(issued.message)")
        let token = issued.json.at("status", "token")?.string ?? ""
        let answer = await server.whoami(token)
        #expect(answer.json.at("status", "userInfo", "extra", "authentication.kubernetes.io/pod-name") == ["p"])
        _ = await server.send("DELETE", "\(pods)/p?gracePeriodSeconds=0")
        #expect(await server.whoami(token).status == 401)
        _ = await server.send("POST", pods, object)
        #expect(await server.whoami(token).status == 401)
        #expect(await server.review(token)["error"] == "[invalid bearer token, service account token has been invalidated]")
        // Neither another pod nor another account.
        #expect(await server.token("robot", ["boundObjectRef": bound]).status == 409)
        await server.account("other")
        #expect(
            await server.token("other", ["boundObjectRef": ["apiVersion": "v1", "kind": "Pod", "name": "p"]]).message
                == #"cannot bind token for serviceaccount "other" to pod running with different serviceaccount name."#)
        #expect(
            await server.token("other", ["boundObjectRef": ["apiVersion": "apps/v1", "kind": "Deployment", "name": "p"]]).status
                == 400)
    }

    @Test func lifeAndAudience() async throws {
        let server = try await TestServer()
        await server.account("robot")
        let short = await server.token("robot", ["expirationSeconds": 60])
        #expect(short.status == 422)
        #expect(
            short.message
                == #"TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 60: "#
                + "may not specify a duration less than 10 minutes")
        let other = await server.token("robot", ["audiences": ["vault"], "expirationSeconds": 7200])
        let token = other.json.at("status", "token")?.string ?? ""
        #expect(await server.whoami(token).status == 401)
        let status = await server.review(token, audiences: ["vault", "x"])
        #expect(status["authenticated"] == true && status["audiences"] == ["vault"])
        #expect(await server.review(token)["authenticated"] == false)
        #expect(await server.token("nobody").status == 404)
        // Time moves on.
        let core = server.server.core
        let good = await server.token("robot").json.at("status", "token")?.string ?? ""
        #expect(try core.tokens.authenticate(good, audiences: core.tokens.audiences, core) != nil)
        let later = Timestamp(seconds: Timestamp.now().seconds + 3601)
        #expect(throws: AuthenticationFailure.self) {
            _ = try core.tokens.authenticate(good, audiences: core.tokens.audiences, core, now: later)
        }
    }

    @Test func forgeriesAreRefused() async throws {
        let server = try await TestServer()
        await server.account("robot")
        let token = await server.token("robot").json.at("status", "token")?.string ?? ""
        let parts = token.split(separator: ".").map(String.init)
        let core = server.server.core
        let claims = try #require(JSONWebToken(token)?.claims)
        var admin = claims
        admin["sub"] = "system:serviceaccount:kube-system:robot"
        admin.set("kubernetes.io", "namespace", to: "kube-system")
        let body = Base64.encode(admin.encode(), url: true)
        let none = Base64.encode(Array(#"{"alg":"none"}"#.utf8), url: true)
        let foreign = try JSONWebToken.text(claims, signer: TestTokenSigner(secret: 7))
        for forged in [
            "\(parts[0]).\(body).\(parts[2])", "\(none).\(parts[1]).", "\(none).\(parts[1]).\(parts[2])", foreign,
            token + "x", String(token.dropLast(2)), "\(parts[0]).\(parts[1])", "..", "a.b.c", "", "letmein2",
        ] {
            let status = await server.whoami(forged).status
            #expect(status == 401 || forged.isEmpty && status == 403, "\(forged)")
        }
        #expect(core.tokens.signer != nil)
        #expect(await server.whoami(token).status == 201)
    }

    @Test func projectedTokensOfOldClientsLiveLonger() async throws {
        let server = try await TestServer()
        await server.account("robot")
        var object = pod("p")
        object.set("spec", "serviceAccountName", to: "robot")
        _ = await server.send("POST", "/api/v1/namespaces/default/pods", object)
        let issued = await server.token(
            "robot", ["expirationSeconds": 3607, "boundObjectRef": ["apiVersion": "v1", "kind": "Pod", "name": "p"]])
        let claims = try #require(JSONWebToken(issued.json.at("status", "token")?.string ?? "")?.claims)
        let start = claims["iat"]?.int ?? 0
        #expect(claims.at("kubernetes.io", "warnafter")?.int == start + 3607)
        #expect(claims["exp"]?.int == start + 365 * 86_400)
        #expect(issued.json.at("status", "expirationTimestamp")?.string == Timestamp(seconds: start + 3607).rfc3339)
    }

    @Test func secretTokensLiveAsLongAsTheirSecret() async throws {
        let server = try await TestServer()
        await server.account("robot")
        let uid = await server.send("GET", "\(tokens)/robot").json.at("metadata", "uid")?.string ?? ""
        let token = try server.server.secretToken(
            account: .init(namespace: "default", name: "robot"), uid: uid, secret: "robot-token")
        #expect(await server.whoami(token).status == 401)
        let secret: JSON = [
            "metadata": ["name": "robot-token", "annotations": ["kubernetes.io/service-account.name": "robot"]],
            "type": "kubernetes.io/service-account-token", "stringData": ["token": .string(token)],
        ]
        let made = await server.send("POST", "/api/v1/namespaces/default/secrets", secret)
        #expect(made.status == 201, "\(made.message)")
        #expect(await server.whoami(token).status == 201)
        _ = await server.send("DELETE", "/api/v1/namespaces/default/secrets/robot-token")
        #expect(await server.whoami(token).status == 401)
    }

    @Test func theIssuerPublishesItsKeys() async throws {
        let server = try await TestServer()
        await server.account("robot")
        let token = await server.token("robot").json.at("status", "token")?.string ?? ""
        let headers: HTTPHeaders = ["Authorization": "Bearer \(token)"]
        let keys = await server.send("GET", "/openid/v1/jwks", headers: headers, peer: nobody)
        #expect(keys.status == 200 && keys.json["keys"]?[0]?["kid"] == "test")
        #expect(keys.headers["Content-Type"] == "application/jwk-set+json")
        let page = await server.send("GET", "/.well-known/openid-configuration", headers: headers, peer: nobody)
        #expect(page.json["issuer"] == "https://kubernetes.default.svc.cluster.local")
        #expect(page.json["jwks_uri"]?.string?.hasSuffix("/openid/v1/jwks") == true)
    }
}

@Suite struct OtherTokenTests {
    @Test func bootstrapTokensAreSecrets() async throws {
        let server = try await TestServer()
        func data(_ more: [String: String]) -> JSON {
            var all = [
                "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
            ]
            all.merge(more) { $1 }
            return JSON(all)
        }
        let url = "/api/v1/namespaces/kube-system/secrets"
        func put(_ more: [String: String]) async {
            _ = await server.send("DELETE", "\(url)/bootstrap-token-abcdef")
            let answer = await server.send(
                "POST", url,
                [
                    "metadata": ["name": "bootstrap-token-abcdef"], "type": "bootstrap.kubernetes.io/token",
                    "stringData": data(more),
                ])
            #expect(answer.status == 201, "\(answer.message)")
        }
        let token = "abcdef.0123456789abcdef"
        #expect(await server.whoami(token).status == 401)
        await put(["auth-extra-groups": "system:bootstrappers:worker", "expiration": "2999-01-01T00:00:00Z"])
        let answer = await server.whoami(token)
        #expect(answer.json.at("status", "userInfo", "username") == "system:bootstrap:abcdef")
        #expect(
            answer.json.at("status", "userInfo", "groups")
                == ["system:bootstrappers", "system:bootstrappers:worker", "system:authenticated"])
        #expect(await server.whoami("abcdef.0123456789abcdeg").status == 401)
        for bad in [
            ["expiration": "2001-01-01T00:00:00Z"], ["usage-bootstrap-authentication": "false"],
            ["auth-extra-groups": "system:masters"], ["token-id": "abcdeg"], ["expiration": "tomorrow"],
        ] {
            await put(bad)
            #expect(await server.whoami(token).status == 401, "\(bad)")
        }
    }

    @Test func staticTokensComeOutOfAFile() async throws {
        let server = try await TestServer()
        let answer = await server.whoami("letmein")
        #expect(answer.json.at("status", "userInfo", "username") == "robin")
        #expect(answer.json.at("status", "userInfo", "uid") == "u-1")
        #expect(answer.json.at("status", "userInfo", "groups") == ["dev", "ops", "system:authenticated"])
        let headers: HTTPHeaders = ["Authorization": "Bearer master-key"]
        #expect(await server.send("GET", "/api/v1/nodes", headers: headers, peer: nobody).status == 200)
        #expect(await server.whoami("letmei").status == 401)
        #expect(throws: StaticTokenError.self) { try StaticToken.parse("a,b") }
        #expect(throws: StaticTokenError.self) { try StaticToken.parse("a,b,c,\"d") }
        #expect(throws: StaticTokenError.self) { try StaticToken.parse("a,b,c\na,d,e") }
    }

    @Test func badTokensAre401AndNoTokenIsAnonymous() async throws {
        let server = try await TestServer()
        let refused = await server.send("GET", "/version", headers: ["Authorization": "Bearer nonsense"], peer: nobody)
        #expect(refused.status == 401 && refused.reason == "Unauthorized" && refused.message == "Unauthorized")
        #expect(await server.send("GET", "/version", headers: ["Authorization": "Basic eDp5"], peer: nobody).status == 200)
        // A browser's WebSocket carries its token as a subprotocol.
        let offered = "base64url.bearer.authorization.k8s.io." + Base64.encode(Array("letmein".utf8), url: true)
        let answer = await server.send(
            "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", [:],
            headers: ["Upgrade": "websocket", "Sec-WebSocket-Protocol": "v5.channel.k8s.io, \(offered)"], peer: nobody)
        #expect(answer.json.at("status", "userInfo", "username") == "robin")
    }
}
