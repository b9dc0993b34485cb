"""JSON values as a few bytes: what is seldom looked at, and would be large as Python objects. Pure.

The dictionary holds what such values usually say, so that a packed one holds what is its own: a
Deployment's specification takes some 130 bytes, and packing it is faster than without.
"""

import json
import zlib
from typing import Any

_WINDOW = -13  # raw: neither header nor checksum, which would be larger than some values
_MEMORY = 6
_LEVEL = 1

# What is usual, the most usual last: there it is found soonest. It must not differ between two
# places that exchange packed values; there is no such exchange, they live in one process.
_DICTIONARY = (
    b'"finishedAt":"exitCode":"backoffLimit":"completions":"parallelism":"activeDeadlineSeconds":'
    b'"podFailurePolicy":"maxRestarts":"failurePolicy":{"rules":[{"action":"RestartApp"'
    b'"components":[{"name":"dependsOn":[{"name":"master","until":"Complete"'
    b'"nodeSelector":{"clusterous.io.node-restriction.kubernetes.io/pool":"topologySpreadConstraints":'
    b'"affinity":{"nodeAffinity":"initContainers":[{"lifecycle":{"preStop":{"httpGet":{"path":"/'
    b'"livenessProbe":"readinessProbe":"expose":[{"component":"master","message":"sharedVolume":{'
    b'"status":"Unknown","reason":"Trouble","reason":"Waiting","reason":"Progressing","message":"'
    b'workers: 0 of 4 ready","metadata":{"labels":{"app.kubernetes.io/managed-by":'
    b'"clusterous-operator","clusterous.io/app":"sim","clusterous.io/component":"master"},'
    b'"annotations":{"clusterous.io/applied":"0123456789abcdef"}},"spec":{"accessModes":['
    b'"ReadWriteOnce"],"ReadWriteMany"],"resources":{"requests":{"storage":"20Gi"}},'
    b'"storageClassName":"standard","volumeMode":"Filesystem","volumeName":"pvc-"clusterIP":"10.'
    b'"clusterIPs":["10."],"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],'
    b'"ipFamilyPolicy":"SingleStack","ports":[{"name":"http","port":8080,"protocol":"TCP",'
    b'"targetPort":8080}],"selector":{"clusterous.io/app":"sim","clusterous.io/component":"master"'
    b'},"sessionAffinity":"None","type":"ClusterIP"}}{"image":"master":{"args":["command":["'
    b'python","/bin/sh","-c","env":[{"name":"placement":{"pool":"ports":[{"name":"http","port":8080'
    b',"protocol":"TCP"}],"resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"100m"'
    b',"memory":"128Mi"}}},"run":"Service","Batch","suspend":false,"workers":{"min":0,"max":'
    b'"replicas":4,"resources":{"requests":{"cpu":"100m","memory":"128Mi"}},"strategy":{"type":'
    b'"RollingUpdate","maxSurge":"25%","maxUnavailable":"25%"}},"spec":{"progressDeadlineSeconds":600,"replicas":1,'
    b'"revisionHistoryLimit":2,"selector":{"matchLabels":{"clusterous.io/app":"sim",'
    b'"clusterous.io/component":"workers"}},"strategy":{"type":"Recreate"},"template":{"metadata":{'
    b'"labels":{"app.kubernetes.io/managed-by":"clusterous-operator","clusterous.io/app":"sim",'
    b'"clusterous.io/component":"workers"}},"spec":{"automountServiceAccountToken":false,'
    b'"containers":[{"env":[{"name":"CLUSTEROUS_APP","value":"sim"},{"name":"CLUSTEROUS_COMPONENT"'
    b',"value":"workers"},{"name":"CLUSTEROUS_MASTER_HOST","value":"sim-master"}],"image":"'
    b'","imagePullPolicy":"IfNotPresent","name":"workers","ports":[{"containerPort":8080,'
    b'"name":"http","protocol":"TCP"}],"resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":'
    b'{"cpu":"100m","memory":"128Mi"}},"securityContext":{"allowPrivilegeEscalation":false},'
    b'"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File",'
    b'"volumeMounts":[{"mountPath":"/home/data","name":"data"}]}],"dnsPolicy":"ClusterFirst",'
    b'"enableServiceLinks":false,"hostAliases":[{"hostnames":["master","sim-master",'
    b'"master.marathon.mesos"],"ip":"10.43."}],"restartPolicy":"Always","schedulerName":'
    b'"default-scheduler","securityContext":{"seccompProfile":{"type":"RuntimeDefault"}},'
    b'"terminationGracePeriodSeconds":30,"tolerations":[{"effect":"NoExecute","key":'
    b'"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":10},{"effect":'
    b'"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists","tolerationSeconds":10}]'
    b',"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"sim-data"}}]}}}}'
    b'{"components":[{"desired":1,"failed":0,"name":"master","ready":1,"reason":"restarts":0,'
    b'"updated":1},{"desired":4,"failed":0,"name":"workers","ready":4,"restarts":0,"updated":4}],'
    b'"conditions":[{"lastTransitionTime":"2026-11-22T12:00:00Z","message":"All is ready.",'
    b'"observedGeneration":1,"reason":"Ready","status":"True","type":"Ready"},{'
    b'"lastTransitionTime":"2026-11-22T12:00:00Z","message":"","observedGeneration":1,"reason":'
    b'"Ready","status":"False","type":"Reconciling"},{"type":"Stalled"},{"message":"1 of 1 ready",'
    b'"reason":"Ready","status":"True","type":"MasterReady"},{"message":"4 of 4 ready","type":'
    b'"WorkersReady"},{"message":"The claim sim-data is Bound.","reason":"Bound","status":"True",'
    b'"type":"VolumeBound"},{"reason":"Running","status":"False","type":"Suspended"},{"reason":'
    b'"Running","status":"False","type":"Completed"}],"endpoints":[{"component":"master","message":'
    b'"localPort":"name":"port":"service":"sim-master"}],"master":"1/1","message":"Ready",'
    b'"observedGeneration":1,"readyTime":"2026-11-22T12:00:00Z","replicas":4,"restarts":0,'
    b'"selector":"clusterous.io/app=sim,clusterous.io/component=workers","startTime":'
    b'"2026-11-22T12:00:00Z","timeToReadySeconds":1,"volume":"Bound","workers":"4/4"}'
)


def pack(value: object) -> bytes:
    """Return a JSON value as bytes, equal for equal values whose keys come in equal order."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zdict=_DICTIONARY)
    text = json.dumps(value, separators=(",", ":")).encode()
    return packer.compress(text) + packer.flush()


def unpack(packed: bytes) -> Any:
    """Return the value that was packed."""
    unpacker = zlib.decompressobj(_WINDOW, zdict=_DICTIONARY)
    return json.loads(unpacker.decompress(packed))
