-- The health of a ClusterousApp for Argo CD; docs/gitops.md says how to install it.
-- The same rules as kstatus, and one more: what was suspended is Suspended, and not for ever late.
local health = { status = "Progressing", message = "Waiting for the operator" }
if obj.status == nil or obj.status.conditions == nil then
  return health
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  health.message = "The operator has not seen the last change yet"
  return health
end
local told = {}
for _, condition in ipairs(obj.status.conditions) do
  told[condition.type] = condition
end
local function holds(kind)
  return told[kind] ~= nil and told[kind].status == "True"
end
if told.Ready ~= nil then
  health.message = told.Ready.message
end
if holds("Stalled") then
  health.status = "Degraded"
  health.message = told.Stalled.message
elseif holds("Reconciling") then
  health.status = "Progressing"
elseif holds("Ready") then
  health.status = "Healthy"
elseif holds("Suspended") then
  health.status = "Suspended"
end
return health
