terraform {
  # optional(…, default) in object types, and validations that read locals.
  required_version = ">= 1.9"

  required_providers {
    azurerm = {
      source = "hashicorp/azurerm"
      # gpu_driver came with 4.40, upgrade_settings.max_unavailable with 4.53.
      version = "~> 4.55"
    }
  }
}

provider "azurerm" {
  subscription_id = var.subscription_id
  features {}
}
