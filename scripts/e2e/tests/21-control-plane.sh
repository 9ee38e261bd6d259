# The control plane's own resources: component statuses, APIServices, scales

expect "get componentstatuses: the store" '^store +Healthy +ok' k get componentstatuses
expect "get componentstatuses: the scheduler" '^scheduler +Healthy +ok' k get cs
expect "get componentstatuses: the controllers" '^controller-manager +Healthy +ok' k get cs
expect "and a warning that they are old" 'Warning: v1 ComponentStatus is deprecated in v1.19\+' k get cs
expect "get apiservices" '^v1\.apps +Local +True' k get apiservices
expect "the core group's" '^v1\. +Local +True' k get apiservices
expect "get --subresource=scale" '^web-app +3 +3 ' kp get deployment web-app --subresource=scale
expect "auth whoami shows the certificate" 'X509SHA256=[0-9a-f]{64}' k auth whoami -o yaml
expect "cluster-info" 'Kubernetes control plane.* is running at' k cluster-info
