output "credentials" {
  description = "What to type to point kubectl at the cluster."
  value       = "az aks get-credentials --resource-group ${azurerm_resource_group.mesh.name} --name ${azurerm_kubernetes_cluster.mesh.name}"
}

output "images_prefix" {
  description = "For `make images IMAGES=…`, and the chart's images.prefix."
  value       = "${azurerm_container_registry.images.login_server}/chatmesh/"
}

output "gpu_pools" {
  description = "The GPU pools that there are, with their size and the most nodes that each may have."
  value = {
    for name, pool in azurerm_kubernetes_cluster_node_pool.gpu :
    name => "0 to ${pool.max_count} of ${pool.vm_size}"
  }
}

output "oidc_issuer_url" {
  description = "Whom Azure believes when a pod says which ServiceAccount it is of."
  value       = azurerm_kubernetes_cluster.mesh.oidc_issuer_url
}

output "weights_client_id" {
  description = "For the ServiceAccount's annotation azure.workload.identity/client-id; null without var.weights."
  value       = var.weights == null ? null : azurerm_user_assigned_identity.weights[0].client_id
}
